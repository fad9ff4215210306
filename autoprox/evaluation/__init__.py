"""From graphs and measured statistics to scores."""
