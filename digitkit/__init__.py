"""digitkit: learn how a computer reads handwriting, in notebooks.

``import digitkit as dk`` is quick: a name is loaded when it is first used.
"""

import importlib

_NAMES = {  # by the notebook that brings them
    "check": "runtime",  # 00
    "print_results": "runtime",
    "load_mnist": "data",  # 01
    "data_source": "data",
    "to_unit": "data",
    "print_open_exercises": "exercises",
    "show_images": "plots",
    "show_image": "plots",
    "plot_counts": "plots",
    "draw_images": "standin",
    "RARE": "standin",
    "describe_machine": "runtime",  # 02
    "build_cnn": "networks",
    "save_network": "networks",
    "load_network": "networks",
    "augment": "augmentation",
    "augmented_batches": "augmentation",
    "add_rare_styles": "augmentation",
    "add_non_digits": "augmentation",
    "one_cycle": "training",
    "smoothed_crossentropy": "training",
    "keep_progress": "checkpoint",
    "live_curves": "progress",
    "work_folder": "places",
    "plot_history": "plots",  # 03
    "STYLE": "plots",
    "DrawingPad": "drawing_pad",  # 04
    "predictor": "networks",
    "decide": "networks",
    "to_image": "ink",
    "picture_to_image": "pictures",
    "draw_strokes": "standin",
    "draw_non_digits": "nondigits",
    "NON_DIGITS": "nondigits",
    "show_strokes": "plots",
    "plot_probabilities": "plots",
    "confusion": "scoring",  # 05
    "accuracy_by_digit": "scoring",
    "plot_accuracies": "score_plots",
    "plot_calibration": "score_plots",
    "plot_confusion": "score_plots",
    "worst_mistakes": "scoring",
    "calibration": "scoring",
    "feature_maps": "inside",  # 06
    "saliency": "inside",
    "grad_cam": "inside",
    "image_to_url": "pictures",
    "save_drawing": "drawings",  # 07
    "load_drawings": "drawings",
    "CollectingPad": "collecting_pad",
    "merge_drawings": "collection",
    "remove_drawings": "collection",
    "load_writers": "collection",
}
__all__ = sorted(_NAMES)


def __getattr__(name):
    if name not in _NAMES:
        raise AttributeError(f"digitkit has no {name!r}, it has {', '.join(__all__)}")
    return getattr(importlib.import_module(f".{_NAMES[name]}", __name__), name)


def __dir__():
    return __all__
