// Asks again as soon as a field changes, and puts the answer into the page; without script the button does it.
"use strict";
(() => {
  const form = document.getElementById("request");
  const told = document.getElementById("told");
  const pause = 350; // ms; arrow keys move a slider in steps
  let waiting = 0;
  let latest = 0;

  const ask = async () => {
    const mine = ++latest;
    const query = new URLSearchParams(new FormData(form));
    const address = `${form.getAttribute("action")}?${query}`;
    const reply = await fetch(address, { headers: { accept: "text/html", "x-answer-only": "1" } });
    if (!reply.ok) return location.assign(address);
    const fresh = new DOMParser().parseFromString(await reply.text(), "text/html");
    if (mine !== latest) return;
    document.getElementById("answer").replaceWith(fresh.getElementById("answer"));
    history.replaceState(null, "", address);
    told.textContent = `The list was made again, ${document.querySelectorAll("[data-video]").length} rows.`;
  };

  form.addEventListener("input", (event) => {
    const shown = form.querySelector(`output[for="${event.target.id}"]`);
    if (shown) shown.textContent = Number(event.target.value).toFixed(2);
  });
  form.addEventListener("change", () => {
    clearTimeout(waiting);
    if (form.checkValidity()) waiting = setTimeout(ask, pause);
  });
})();
