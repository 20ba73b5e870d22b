"""Drive napari's plugin as a person would: initialise, click, undo, click again, reset. Run by test_napari_plugin.py.

python napari_click.py URL IMAGE.npy Z,Y,X ANSWER.npy      prints "done"
"""

import sys
import time
from collections.abc import Callable

import napari
import numpy as np
from napari_nninteractive.widget_main import nnInteractiveWidget
from qtpy.QtWidgets import QApplication


def until(condition: Callable[[], bool], seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing came within the time"
        QApplication.instance().processEvents()
        time.sleep(0.02)


def main(url: str, image: str, place: str, answer: str) -> None:
    viewer = napari.Viewer(show=True)
    viewer.add_image(np.load(image), name="image")
    widget = nnInteractiveWidget(viewer)
    viewer.window.add_dock_widget(widget)
    widget.server_url_edit.setText(url)
    widget.on_remote_settings_changed()
    widget.image_selection.setCurrentText("image")
    widget.on_init()
    until(lambda: widget.session is not None and widget.label_layer_name in viewer.layers)
    until(lambda: widget._upload_dialog is None)
    assert "not a medical device" in widget.model_license_label.text()
    shown = widget._data_result
    widget.interaction_button._check(0)
    widget.on_interaction_selected()
    spot = np.array([float(value) for value in place.split(",")])
    beside = np.array([0.2, -0.1, 0.3])  # a mouse hits no middle of a voxel
    viewer.layers[widget.point_layer_name].add(spot + beside)
    until(lambda: bool(shown.any()))
    np.save(answer, shown > 0)
    widget.on_undo()
    until(lambda: not shown.any())
    viewer.layers[widget.point_layer_name].add(spot)
    until(lambda: bool(shown.any()))
    assert ((shown > 0) == np.load(answer)).all()
    widget.on_reset_interactions()
    until(lambda: not widget._data_result.any())
    widget._release_session()
    viewer.close()
    print("done")


if __name__ == "__main__":
    main(*sys.argv[1:])
