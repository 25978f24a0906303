/* What the style sheet cannot know: how wide things turned out. Without it the book reads as well. */
(function () {
  "use strict";

  const WIDE = "div.math, article pre";

  /* Say that a formula or a block goes on to the right, as long as it does. */
  function cue(formula) {
    const left = formula.scrollWidth - formula.clientWidth - formula.scrollLeft;
    formula.classList.toggle("more-to-the-right", left > 2);
  }

  /* A row a block, where a table is wider than the page. */
  function stack(wrapper) {
    wrapper.classList.remove("stacked");
    wrapper.classList.toggle("stacked", wrapper.scrollWidth > wrapper.clientWidth + 1);
  }

  function fit() {
    document.querySelectorAll(".table-wrapper").forEach(stack);
    document.querySelectorAll(WIDE).forEach(cue);
  }

  document.addEventListener("DOMContentLoaded", async function () {
    document.querySelectorAll(".table-wrapper table").forEach(function (table) {
      const names = [...table.querySelectorAll("thead th")].map((cell) => cell.textContent.trim());
      table.querySelectorAll("tbody tr").forEach(function (row) {
        [...row.cells].forEach(function (cell, i) {
          if (names[i] && cell.textContent.trim()) cell.dataset.column = names[i];
        });
      });
    });
    if (matchMedia("(max-width: 600px)").matches) {
      document.querySelectorAll("details.listing").forEach(function (listing) {
        listing.open = listing.querySelectorAll(".row").length <= 15;
      });
    }
    document.querySelectorAll(WIDE).forEach(function (formula) {
      formula.addEventListener("scroll", () => cue(formula), { passive: true });
    });
    if (window.MathJax && MathJax.startup) await MathJax.startup.promise;
    fit();
    addEventListener("resize", fit);
    document.documentElement.dataset.fitted = "yes";
  });
})();
