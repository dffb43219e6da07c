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
    const headers = { accept: "text/html", "x-answer-only": "1" };
    const reply = await fetch(address, { headers }).catch(() => null);
    if (mine !== latest) return;
    told.className = reply ? "unseen" : "notice bad";
    if (!reply) return (told.textContent = "The service did not answer. Change a field to try again.");
    if (!reply.ok) return location.assign(address); // its page says what is wrong
    const fresh = new DOMParser().parseFromString(await reply.text(), "text/html");
    if (mine !== latest) return;
    document.getElementById("answer").replaceWith(fresh.getElementById("answer"));
    history.replaceState(null, "", address);
    told.textContent = `The list was made again, ${document.querySelectorAll("[data-video]").length} rows.`;
  };

  form.addEventListener("input", (event) => {
    const shown = form.querySelector(`output[for="${event.target.id}"]`);
    if (!shown) return;
    // Any value may be released, .0035 too, so the slider has no steps; what a hand chose is a thousandth.
    shown.textContent = event.target.value = Number(Number(event.target.value).toFixed(3));
  });
  form.addEventListener("change", () => {
    clearTimeout(waiting);
    if (form.checkValidity()) waiting = setTimeout(ask, pause);
  });
})();
