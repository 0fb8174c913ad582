"""Performance models: analytic cores with learned residuals, calibrated intervals, and what they are fitted on."""

from gpuprobe.predict.predictor import GemmPrediction, Interval, Predictor

__all__ = ["GemmPrediction", "Interval", "Predictor"]
