"""Pictures of what a model learned, drawn from plain arrays.

- `learning_curve`: the ELBO and its two terms, epoch by epoch;
- `reconstructions`: data above what the decoder makes of their codes;
- `latent_scatter`: posterior means, coloured by class, against the prior;
- `prior_predictive_grid`: the decoder's means over the latent space;
- `samples`: draws from the model;
- `rows_of_samples`: the same in rows, one for each class or condition;
- `interpolation`: images on the way from one datum to another;
- `latent_animation`: the latent scatter while training runs, as a GIF;
- `mixture_map`: a mixture's density and responsibilities, with ellipses of its covariances;
- `mixture_animation`: the path of EM, iteration by iteration, as a GIF;
- `component_images`: the means of a mixture as images;
- `information_criteria`: BIC and AIC against the number of components;
- `sweep`: what several seeds say at each of some values;
- `comparison`: one datum's posterior, and what each method of inference makes of it;
- `plate_diagram`: what depends on what in a model, drawn from the model object;
- `network_diagram`: the layers of a VAE with their shapes;
- `draw_graph`: the computation graph of a tensor, read from the tape;
- `image_grid`, `save_figure`: what the others are made with.

Nothing here touches ``pyplot``: each call makes its own figure on its own Agg canvas, so pictures
can be drawn without a display and from several threads, and nobody's settings change. An
`image_shape` of None means that the data are not images: rows are then drawn as curves. An array of
the wrong shape, empty, or with NaN or infinity in it is refused with a `ShapeError`.
"""

from minivae.figures.curves import information_criteria, learning_curve, sweep
from minivae.figures.graph import draw_graph
from minivae.figures.images import (
    image_grid,
    interpolation,
    prior_predictive_grid,
    reconstructions,
    rows_of_samples,
    samples,
)
from minivae.figures.inference import comparison, trace_and_ranks
from minivae.figures.latent import MOST_CLASSES, latent_animation, latent_scatter
from minivae.figures.mixtures import component_images, mixture_animation, mixture_map
from minivae.figures.page import PALETTE, save_figure
from minivae.figures.plates import network_diagram, plate_diagram

__all__ = [
    "MOST_CLASSES",
    "PALETTE",
    "comparison",
    "component_images",
    "draw_graph",
    "image_grid",
    "information_criteria",
    "interpolation",
    "latent_animation",
    "latent_scatter",
    "learning_curve",
    "mixture_animation",
    "mixture_map",
    "network_diagram",
    "plate_diagram",
    "prior_predictive_grid",
    "reconstructions",
    "rows_of_samples",
    "samples",
    "save_figure",
    "sweep",
    "trace_and_ranks",
]
