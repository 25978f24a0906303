/* Drag a Gaussian q over a posterior of two hills and watch the bound, its gap and both divergences.

   It stands below the picture of examples/two_hills.py. The posterior is that picture's; log p(x) is
   any number, here -3. All integrals are sums over a grid, Eq. KL.1 and Eq. ELBO.3. */
(function () {
  "use strict";

  const LOG_P = -3, LIMIT = 14, N = 2801, WIDTH = 640, HEIGHT = 240, SHOWN = 5;
  const DZ = (2 * LIMIT) / (N - 1);
  const Z = Array.from({ length: N }, (_, i) => -LIMIT + i * DZ);
  const normal = (z, mu, s) => -0.5 * (Math.log(2 * Math.PI * s * s) + ((z - mu) / s) ** 2);
  const logAdd = (a, b) => Math.max(a, b) + Math.log1p(Math.exp(-Math.abs(a - b)));
  const logPosterior = Z.map((z) => logAdd(normal(z, -2, 0.5), normal(z, 2, 0.5)) - Math.log(2));

  /* The numbers of q = N(mu, s^2). */
  function numbers(mu, s) {
    let exclusive = 0, inclusive = 0;
    Z.forEach(function (z, i) {
      const q = normal(z, mu, s), p = logPosterior[i];
      if (q > -700) exclusive += DZ * Math.exp(q) * (q - p);
      if (p > -700) inclusive += DZ * Math.exp(p) * (p - q);
    });
    return { elbo: LOG_P - exclusive, gap: exclusive, inclusive: inclusive };
  }

  function svg(name, attributes, parent) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
    if (parent) parent.append(made);
    return made;
  }

  function path(log) {
    const shown = Z.map((z, i) => [z, i]).filter(([z]) => Math.abs(z) <= SHOWN);
    const at = ([z, i]) => `${((z + SHOWN) / (2 * SHOWN)) * WIDTH},` +
      `${HEIGHT - 10 - 200 * Math.min(1.1, Math.exp(log(z, i)))}`;
    return "M" + shown.map(at).join("L");
  }

  function build(figure) {
    const place = document.createElement("div");
    place.className = "drag-q";
    const picture = svg("svg", {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "slider", tabindex: "0",
      "aria-label": "mean of q", "aria-valuemin": -4.5, "aria-valuemax": 4.5,
    });
    const base = `L${WIDTH},${HEIGHT - 10}L0,${HEIGHT - 10}Z`;
    svg("path", { class: "posterior", d: path((_, i) => logPosterior[i]) + base }, picture);
    const curve = svg("path", { class: "guide" }, picture);
    const scale = document.createElement("label");
    scale.innerHTML = 'scale of q <input type="range" min="0.2" max="3" step="0.05" value="0.5">';
    const said = document.createElement("output");
    place.append(picture, scale, said);
    figure.after(place);

    let mu = 2;
    function draw() {
      const s = Number(scale.firstElementChild.value), found = numbers(mu, s);
      curve.setAttribute("d", path((z) => normal(z, mu, s)));
      picture.setAttribute("aria-valuenow", mu.toFixed(2));
      const show = (name, value) => `<span data-name="${name}">${name} <b>${value.toFixed(2)}</b></span>`;
      said.innerHTML = show("mean", mu) + show("scale", s) + show("log p(x)", LOG_P) +
        show("ELBO", found.elbo) + show("gap KL(q‖p)", found.gap) + show("KL(p‖q)", found.inclusive);
    }
    function move(to) {
      mu = Math.max(-4.5, Math.min(4.5, to));
      draw();
    }
    const under = function (event) {
      const box = picture.getBoundingClientRect();
      return ((event.clientX - box.left) / box.width) * 2 * SHOWN - SHOWN;
    };
    picture.addEventListener("pointerdown", function (event) {
      picture.setPointerCapture(event.pointerId);
      move(under(event));
    });
    picture.addEventListener("pointermove", (event) => event.buttons && move(under(event)));
    picture.addEventListener("keydown", function (event) {
      const step = { ArrowLeft: -0.1, ArrowRight: 0.1 }[event.key];
      if (step) {
        event.preventDefault();
        move(mu + step);
      }
    });
    scale.firstElementChild.addEventListener("input", draw);
    draw();
  }

  document.addEventListener("DOMContentLoaded", function () {
    document.querySelectorAll('figure a.source[href*="two_hills.py"]').forEach(function (link) {
      build(link.closest("figure"));
    });
  });
})();
