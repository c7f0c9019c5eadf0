"""Components of other packages: found without being imported, imported when asked for, refused in words."""

import sys

import pytest
from pydantic import ValidationError

from reseed.pipeline.config import RunConfig
from reseed.stages.audio.datasets.table import DATASETS
from reseed.stages.backbones.settings import config_class
from reseed.stages.backbones.table import backbone_class, load_backbone
from reseed.stages.common import plugins
from reseed.stages.common.plugins import codes_of, plain
from reseed.stages.enhance import enhance
from reseed.stages.enhancers.chain import ChainConfig
from reseed.stages.enhancers.folder import ModelInfo
from reseed.stages.enhancers.table import ENHANCERS, enhancer_class, enhancer_code, make_enhancer
from reseed.stages.prepare import PrepareSettings
from reseed.stages.reporting.cards import describe_method
from reseed.stages.reporting.metrics.table import metrics_with
from reseed.stages.reporting.results.settings import ReportSettings
from reseed.stages.train import EnhancerOrder, train
from reseed.stages.trial_scoring.settings import ScoreSettings
from reseed.store import ConfigError, EmbeddingStore
from reseed.store.inputs import EnhancedInputs
from reseed.testing.metrics import scored
from tests.packages import write_package
from tests.stages.stores import write_store

ENHANCER = """
    from reseed.stages.enhancers.steps import LengthNorm

    class Mine(LengthNorm):
        '''Mine: length normalisation by another name.'''
"""


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of installed packages, and no module of theirs left behind."""
    before = {*sys.modules}
    monkeypatch.syspath_prepend(tmp_path / "site")
    yield tmp_path / "site"
    for name in {*sys.modules} - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def test_what_a_package_declares_is_listed_with_the_built_in_names_and_imported_when_it_is_asked_for(site):
    write_package(site, "theirs", {"enhancers.theirs": "their_module:Mine"}, their_module=ENHANCER)
    with pytest.raises(ConfigError, match="no enhancer 'thiers'; choose one of centre, .*, theirs; did you mean 'thei"):
        enhancer_class("thiers")
    assert "their_module" not in sys.modules
    assert enhancer_class("theirs").__name__ == "Mine"
    assert describe_method("theirs") == "Mine: length normalisation by another name."
    assert list(ENHANCERS) == [name for name in ENHANCERS.names if name != "theirs"]


def test_a_class_is_named_by_module_and_name_too_without_any_entry_point(site):
    write_package(site, "theirs", {}, their_module=ENHANCER)
    assert enhancer_class("their_module:Mine") is enhancer_class("their_module:Mine")
    (code,) = enhancer_code("their_module:Mine", {}).values()
    assert (code["distribution"], code["version"], len(code["sha256"])) == ("theirs", "1.0", 64)
    assert plain("their_module:Mine") == "their_module_Mine"
    with pytest.raises(ConfigError, match=r"'nowhere:Mine' of no installed .*No module named 'nowhere'; install"):
        enhancer_class("nowhere:Mine")
    with pytest.raises(ConfigError, match=r"the package theirs 1.0 cannot be loaded: AttributeError: .*'Other'"):
        enhancer_class("their_module:Other")


def test_a_package_that_cannot_be_imported_is_named_in_one_line_and_is_in_nobodys_way(site):
    broken = "import numpy_of_long_ago"
    write_package(site, "broken", {"enhancers.broken": "broken_module:Mine"}, version="0.3", broken_module=broken)
    assert enhancer_class("centre").__name__ == "Centre"
    assert describe_method("broken") == "Enhancer broken."
    with pytest.raises(ConfigError) as raised:
        enhancer_class("broken")
    assert raised.value.lines == (
        "the enhancer 'broken' of the package broken 0.3 (entry point broken = broken_module:Mine of reseed.enhancers) "
        "cannot be loaded: ModuleNotFoundError: No module named 'numpy_of_long_ago'; mend or uninstall it",
    )


def test_two_packages_with_one_name_are_refused_and_either_can_be_had_by_its_module(site):
    for number in (1, 2):
        module = {f"twin_module{number}": ENHANCER}
        write_package(site, f"twin{number}", {"enhancers.twin": f"twin_module{number}:Mine"}, **module)
    with pytest.raises(
        ConfigError, match=r"'twin' .* of the package twin1 1.0 .* and of the package twin2 .*uninstall"
    ):
        enhancer_class("twin")
    assert enhancer_class("twin_module2:Mine").__module__ == "twin_module2"


def test_a_name_that_is_built_in_is_refused(site):
    write_package(site, "greedy", {"enhancers.seed": "greedy_module:Mine"}, greedy_module=ENHANCER)
    with pytest.raises(ConfigError, match="'seed' is built in, and the package greedy 1.0 .* has one of that name"):
        enhancer_class("seed")


def test_what_is_none_of_its_kind_is_refused_with_what_it_must_derive_from(site):
    code = """
        from reseed.stages.backbones.base import Backbone
        from reseed.stages.enhancers.base import Enhancer

        class Bare(Enhancer):
            pass

        class NoConfig(Backbone):
            Config = dict

        class Other:
            pass
    """
    write_package(site, "odd", {"enhancers.odd": "odd_module:Other"}, odd_module=code)
    with pytest.raises(
        ConfigError, match=r"is none: derive odd_module:Other from reseed.stages.enhancers.base.Enhancer"
    ):
        enhancer_class("odd")
    with pytest.raises(ConfigError, match="'odd_module:Bare' .* has no Config; set it to a reseed.*Section"):
        enhancer_class("odd_module:Bare")
    with pytest.raises(ConfigError, match=r"derive odd_module:NoConfig.Config from reseed.*settings.BackboneConfig"):
        config_class("odd_module:NoConfig")


def test_the_code_of_a_package_is_told_by_all_its_sources_and_its_version_wherever_it_lies(tmp_path, monkeypatch):
    found = []
    for number, (version, helper) in enumerate(
        [("1.0", "A = 1"), ("1.0", "A = 1"), ("1.0", "A = 2"), ("1.1", "A = 1")]
    ):
        site, top = tmp_path / str(number), f"pack{number}"
        modules = {f"{top}__enhancers": ENHANCER, f"{top}__helper": helper}
        write_package(site, "packed", {"enhancers.packed": f"{top}.enhancers:Mine"}, version=version, **modules)
        with monkeypatch.context() as patch:
            patch.syspath_prepend(site)
            found.append(codes_of("reseed.enhancers", "enhancer", ["packed", "centre"])["packed"])
            assert f"{top}.enhancers" not in sys.modules
    assert found[0] == found[1]
    assert found[2] != found[0] != found[3]
    assert found[3]["sha256"] == found[0]["sha256"]


def test_enhancing_by_other_code_than_a_model_was_trained_by_is_said_and_another_store(site, tmp_path, capsys):
    write_package(site, "theirs", {"enhancers.edited": "edited_module:Mine"}, edited_module=ENHANCER)
    store, model = write_store(tmp_path / "store"), tmp_path / "model"
    settings = enhancer_class("edited").Config()
    train(EnhancerOrder(store=store.path, model=model, enhancer="edited", settings=settings, seed=0))
    enhance(store=store.path, model=model, enhanced=tmp_path / "before", seed=0)
    assert "other code" not in capsys.readouterr().err
    (site / "edited_module.py").write_text("# edited")
    plugins._digest_of_sources.cache_clear()  # as in the next process
    enhance(store=store.path, model=model, enhanced=tmp_path / "after", seed=0)
    assert f"{model} was trained by other code of edited; train it again" in capsys.readouterr().err
    before, after = (EmbeddingStore(tmp_path / name) for name in ("before", "after"))
    assert before.fingerprint != after.fingerprint
    assert before.space == after.space


def test_a_step_of_a_chain_is_of_another_package_if_it_is_in_closed_form(site):
    code = ENHANCER + "    from reseed.stages.enhancers.regression import Mse as Trained\n"
    write_package(site, "steps", {"enhancers.step": "step_module:Mine"}, step_module=code)
    config = ChainConfig.model_validate({"chain": ["centre", "step"]})
    assert make_enhancer("chain", config, 4).dim_out == 4
    assert [*enhancer_code("chain", config.model_dump())] == ["step"]
    with pytest.raises(ValidationError, match="step_module:Trained is trained, and the steps of a chain are in closed"):
        ChainConfig.model_validate({"chain": ["step_module:Trained"]})


def test_a_scorer_has_its_settings_under_its_name(site):
    code = """
        from reseed.stages.common.section import Section
        from reseed.stages.trial_scoring.scorers.cosine import Cosine

        class Powered(Section):
            power: int = 2

        class Mine(Cosine):
            Config = Powered
    """
    write_package(site, "scores", {"scorers.powered": "score_module:Mine"}, score_module=code)
    settings = ScoreSettings.model_validate({"scorings": ["cosine", "powered"], "settings": {"powered": {"power": 3}}})
    assert (settings.of("powered").power, ScoreSettings(scorings=("powered",)).of("powered").power) == (3, 2)
    with pytest.raises(ValidationError, match="Input should be a valid integer"):
        ScoreSettings.model_validate({"scorings": ["powered"], "settings": {"powered": {"power": "much"}}})
    with pytest.raises(ValidationError, match="is for scorers of other packages that score.scorings names; cosine is"):
        ScoreSettings.model_validate({"settings": {"cosine": {}}})


def test_a_data_set_and_a_backbone_are_of_another_package(site):
    code = "from reseed.stages.audio.datasets.noises import MUSAN as Mine"
    backbone = """
        from reseed.stages.backbones.base import Backbone
        from reseed.stages.backbones.settings import BackboneConfig

        class Flat(Backbone):
            name, Config, sample_rate_hz, embedding_dim = "flat", BackboneConfig, 8000, 3

            def __init__(self, config):
                super().__init__()
    """
    entries = {"datasets.mine": "data_module:Mine", "backbones.flat": "flat_module:Flat"}
    write_package(site, "parts", entries, data_module=code, flat_module=backbone)
    assert PrepareSettings(dataset="mine").dataset == "mine"
    assert DATASETS.of("mine").title == "MUSAN"
    assert backbone_class("flat") is backbone_class("flat_module:Flat")
    assert load_backbone("flat", {}).embedding_dim == 3


def test_a_report_has_the_metrics_of_other_packages_that_it_names(site):
    code = """
        from reseed.stages.reporting.metrics.base import Metric

        SPREAD = Metric("spread", lambda trials: float(trials.target_T.max() - trials.nontarget_N.min()))
        EER = Metric("eer", lambda trials: 0.0)
    """
    write_package(site, "measures", {"metrics.spread": "measure_module:SPREAD"}, measure_module=code)
    assert ReportSettings(metrics=("spread",)).model_dump()["metrics"] == ("spread",)
    assert "metrics" not in ReportSettings().model_dump()
    assert metrics_with(["spread"])[-1].of(scored()) > 0
    with pytest.raises(ConfigError, match="measure_module:EER has the key 'eer', as another one has"):
        metrics_with(["measure_module:EER"])


def test_what_is_built_in_has_the_records_and_digests_that_it_had():
    assert "settings" not in ScoreSettings().model_dump()
    info = ModelInfo.model_construct(enhancer="centre", config={}, files={}, weights_sha256="0")
    assert "plugins" not in info.model_dump()
    inputs = EnhancedInputs(parent="0", method="centre", config={}, model="1", seed=0, plugins=None)
    assert "plugins" not in inputs.to_json()
    assert enhancer_code("chain", {"chain": [{"centre": {}}]}) == {}


def test_settings_of_a_run_are_digested_with_the_code_of_other_packages(site, monkeypatch):
    write_package(site, "theirs", {"enhancers.digested": "digested_module:Mine"}, digested_module=ENHANCER)
    views = {"train": {"views": {"clean": {}}}, "evaluation": {"views": {"clean": {}}}}
    run = RunConfig.model_validate(
        {
            "name": "mine",
            "corpus": {"root": "."},
            "extract": views,
            "train": {"digested": {}, "by_module": {"method": "digested_module:Mine"}, "centre": {}},
        }
    )
    assert run.training_digest("train.centre") == run.digest("seed", "train.centre")
    for name in ("digested", "by_module"):
        assert run.training_digest(f"train.{name}") != run.digest("seed", f"train.{name}")
