"""The registered model as code: MLflow stores this file and the text bundle, never a pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from overdue_ml.tracking.store import quiet

with quiet():
    from mlflow.models import set_model
    from mlflow.pyfunc.model import PythonModel


class OverdueModel(PythonModel):
    """Scores a feature frame with the bundle that was registered beside it."""

    def load_context(self, context: Any) -> None:
        """Read the bundle; its inner hashes are checked before LightGBM sees it."""
        from overdue_ml.model import load_bundle

        self._model = load_bundle(Path(context.artifacts["bundle"]))

    def predict(
        self,
        context: Any,  # noqa: ARG002
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> pd.DataFrame:
        """p_overdue and log_odds, one row for each input row."""
        classifier = self._model.classifier
        features = model_input[self._model.feature_names]
        log_odds = classifier.decision_function(features)
        return pd.DataFrame(
            {"p_overdue": classifier.calibrator_.predict(log_odds), "log_odds": log_odds},
            index=model_input.index,
        )


set_model(OverdueModel())
