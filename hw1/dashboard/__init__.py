"""What is seen of studies in optuna-dashboard, and serving it."""
