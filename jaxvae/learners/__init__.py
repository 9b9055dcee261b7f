"""What is fitted to codes: jitted predictors, lane by lane or all together. Knows no metric."""
