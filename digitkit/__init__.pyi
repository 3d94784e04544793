# The public names, by the lesson that brings them. Editors read this file; so does
# digitkit/__init__.py, which loads a name's room when the name is first used.

# 00
# 02
from .callbacks import checkpoint as checkpoint
from .callbacks import live_curves as live_curves

# 01
from .data import (
    data_source as data_source,
)
from .data import (
    load_mnist as load_mnist,
)
from .data import (
    to_unit as to_unit,
)

# 07
from .drawings import (
    load_drawings as load_drawings,
)
from .drawings import (
    load_writers as load_writers,
)
from .drawings import (
    merge_drawings as merge_drawings,
)
from .drawings import (
    remove_drawings as remove_drawings,
)
from .drawings import (
    save_drawing as save_drawing,
)
from .exercises import print_open_exercises as print_open_exercises
from .files import work_folder as work_folder

# 06
from .ink import image_to_url as image_to_url

# 04
from .ink import to_image as to_image
from .inside import (
    feature_maps as feature_maps,
)
from .inside import (
    grad_cam as grad_cam,
)
from .inside import (
    saliency as saliency,
)
from .machine import check as check
from .machine import describe_machine as describe_machine
from .machine import print_results as print_results
from .networks import (
    build_cnn as build_cnn,
)
from .networks import decide as decide
from .networks import (
    load_network as load_network,
)
from .networks import predictor as predictor
from .networks import (
    save_network as save_network,
)
from .pad import CollectingPad as CollectingPad
from .pad import DrawingPad as DrawingPad
from .paper import picture_to_image as picture_to_image

# 03
from .plots import STYLE as STYLE

# 05
from .plots import (
    plot_accuracies as plot_accuracies,
)
from .plots import (
    plot_calibration as plot_calibration,
)
from .plots import (
    plot_confusion as plot_confusion,
)
from .plots import (
    plot_counts as plot_counts,
)
from .plots import plot_history as plot_history
from .plots import (
    plot_probabilities as plot_probabilities,
)
from .plots import (
    show_image as show_image,
)
from .plots import (
    show_images as show_images,
)
from .plots import (
    show_strokes as show_strokes,
)
from .scoring import (
    accuracy_by_digit as accuracy_by_digit,
)
from .scoring import (
    calibration as calibration,
)
from .scoring import (
    confusion as confusion,
)
from .scoring import (
    worst_mistakes as worst_mistakes,
)
from .stand_in import (
    NON_DIGITS as NON_DIGITS,
)
from .stand_in import RARE as RARE
from .stand_in import draw_images as draw_images
from .stand_in import (
    draw_non_digits as draw_non_digits,
)
from .stand_in import (
    draw_strokes as draw_strokes,
)
from .training import (
    add_non_digits as add_non_digits,
)
from .training import (
    add_rare_styles as add_rare_styles,
)
from .training import (
    augment as augment,
)
from .training import (
    augmented_batches as augmented_batches,
)
from .training import (
    one_cycle as one_cycle,
)
from .training import (
    smoothed_crossentropy as smoothed_crossentropy,
)
