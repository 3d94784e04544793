# The public names, by room. Editors read this file; so does digitkit/__init__.py, which
# loads a room when one of its names is first used.

from .callbacks import checkpoint as checkpoint, live_curves as live_curves
from .data import (
    data_source as data_source,
    load_mnist as load_mnist,
    to_unit as to_unit,
)
from .drawings import (
    load_drawings as load_drawings,
    load_writers as load_writers,
    merge_drawings as merge_drawings,
    remove_drawings as remove_drawings,
    save_drawing as save_drawing,
)
from .exercises import print_open_exercises as print_open_exercises
from .files import work_folder as work_folder
from .ink import image_to_url as image_to_url, to_image as to_image
from .inside import (
    feature_maps as feature_maps,
    grad_cam as grad_cam,
    saliency as saliency,
)
from .machine import (
    check as check,
    describe_machine as describe_machine,
    print_results as print_results,
)
from .networks import (
    build_cnn as build_cnn,
    decide as decide,
    load_network as load_network,
    predictor as predictor,
    save_network as save_network,
)
from .pad import CollectingPad as CollectingPad, DrawingPad as DrawingPad
from .paper import picture_to_image as picture_to_image
from .plots import (
    STYLE as STYLE,
    plot_accuracies as plot_accuracies,
    plot_calibration as plot_calibration,
    plot_confusion as plot_confusion,
    plot_counts as plot_counts,
    plot_history as plot_history,
    plot_probabilities as plot_probabilities,
    show_image as show_image,
    show_images as show_images,
    show_strokes as show_strokes,
)
from .scoring import (
    accuracy_by_digit as accuracy_by_digit,
    calibration as calibration,
    confusion as confusion,
    worst_mistakes as worst_mistakes,
)
from .stand_in import (
    NON_DIGITS as NON_DIGITS,
    RARE as RARE,
    draw_images as draw_images,
    draw_non_digits as draw_non_digits,
    draw_strokes as draw_strokes,
)
from .training import (
    add_non_digits as add_non_digits,
    add_rare_styles as add_rare_styles,
    augment as augment,
    augmented_batches as augmented_batches,
    one_cycle as one_cycle,
    smoothed_crossentropy as smoothed_crossentropy,
)
