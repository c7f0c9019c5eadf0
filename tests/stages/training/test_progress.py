import builtins

import pytest

from reseed.stages.training.progress import progress

ROW = {"epoch": 1, "step": 7, "loss": 0.5, "pairs_per_s": 1200, "lr": 0.1, "validation_eer": 0.123}


def test_lines_tell_loss_error_rate_and_speed(capsys):
    with progress(1) as show:
        show(ROW)
    assert capsys.readouterr().err == ("epoch 1/1: loss 0.5000, EER 12.30 % on held-out utterances, 1,200 pairs/s\n")


def test_a_missing_tensorboard_is_one_line(tmp_path, monkeypatch, capsys):
    ordinary = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("torch.utils.tensorboard"):
            raise ModuleNotFoundError(name)
        return ordinary(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with progress(1, tmp_path / "charts") as show:
        show(ROW)
    lines = capsys.readouterr().err.splitlines()
    assert "the package tensorboard is not installed" in lines[0]
    assert len(lines) == 2
    assert not (tmp_path / "charts").exists()


def test_tensorboard_reads_what_was_written(tmp_path):
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with progress(1, tmp_path) as show:
        show(ROW)
    events = event_accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    assert sorted(events.Tags()["scalars"]) == ["loss", "lr", "pairs_per_s", "validation_eer"]
    (loss,) = events.Scalars("loss")
    assert (loss.step, loss.value) == (7, 0.5)
