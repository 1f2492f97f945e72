"""Everything of Momentum Lab that works without a screen: data, models, rules, training, theory, charts."""
