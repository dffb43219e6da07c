// Draws every figure of the page once it comes near the window, and loads Plotly, 4 MB, not before that.
// Colours of text and grid come from the style.
"use strict";
(() => {
  const options = { responsive: true, displaylogo: false, displayModeBar: false, scrollZoom: false };
  const path = document.currentScript.dataset.plotly;
  let loaded;
  const load = () => new Promise((done, failed) => {
    const script = document.createElement("script");
    Object.assign(script, { src: path, onload: done, onerror: failed });
    document.head.append(script);
  });
  const draw = async (place) => {
    const source = place.querySelector('script[type="application/json"]');
    const made = JSON.parse(source.textContent);
    await (loaded ??= load());
    Plotly.newPlot(place, made.data, { ...made.layout, autosize: true }, options);
  };
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) {
        seen.unobserve(entry.target);
        draw(entry.target);
      }
    }
  }, { rootMargin: "300px" });
  for (const place of document.querySelectorAll(".figure")) seen.observe(place);
})();
