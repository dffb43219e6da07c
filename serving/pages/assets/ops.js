// Loads the page again every half minute, in place: what is open, focused or scrolled stays. The button stops it.
"use strict";
(() => {
  const every = 30000;
  const button = document.getElementById("follow");
  let isOn = true;
  const show = () => {
    button.hidden = false;
    button.textContent = isOn ? "Stop updating" : "Keep updating";
  };
  const load = async () => {
    if (!isOn || document.hidden) return;
    try {
      const reply = await fetch(location.href, { headers: { accept: "text/html" } });
      if (!reply.ok) throw new Error(String(reply.status));
      const fresh = new DOMParser().parseFromString(await reply.text(), "text/html");
      const open = [...document.querySelectorAll("#live details[open]")].map((one) => one.id);
      document.getElementById("live").replaceWith(fresh.getElementById("live"));
      for (const id of open) document.getElementById(id)?.setAttribute("open", "");
      document.getElementById("trouble").hidden = true;
    } catch {
      document.getElementById("trouble").hidden = false;
    }
  };
  button.addEventListener("click", () => {
    isOn = !isOn;
    show();
    load();
  });
  show();
  setInterval(load, every);
})();
