"""Names that nobody gave, found by Presidio with a language model from this machine; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from penstock.base.errors import SettingsError

SURE_FROM = 0.5
"""Score from which a found name counts."""


def load_people_finder(model: Path, language: str) -> Callable[[str], list[tuple[int, int]]]:
    """Return what finds names of people by their places in a text.

    `model` is the folder of a spaCy model. Raises `SettingsError` without the extra or the model.
    """
    if not (model / "config.cfg").is_file():
        raise SettingsError(
            f"{model} holds no spaCy model",
            code="settings.presidio-model",
            hint="Name the folder that has its config.cfg.",
        )
    try:
        from presidio_analyzer import AnalyzerEngine
        from presidio_analyzer.nlp_engine import NlpEngineProvider
    except ImportError as error:
        raise SettingsError(
            "Presidio is not installed", code="settings.extra", hint="pip install 'penstock[presidio]'"
        ) from error
    models = [{"lang_code": language, "model_name": str(model)}]
    nlp = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": models}).create_engine()
    analyzer = AnalyzerEngine(nlp_engine=nlp, supported_languages=[language])

    def find_people(text: str) -> list[tuple[int, int]]:
        found = analyzer.analyze(text, language=language, entities=["PERSON"], score_threshold=SURE_FROM)
        return [(one.start, one.end) for one in found]

    return find_people
