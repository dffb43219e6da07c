// Draws every figure of the page once it comes near the window; colours of text and grid come from the style.
"use strict";
(() => {
  const options = { responsive: true, displaylogo: false, displayModeBar: false, scrollZoom: false };
  const draw = (place) => {
    const source = place.querySelector('script[type="application/json"]');
    const made = JSON.parse(source.textContent);
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
