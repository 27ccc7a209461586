"""Speed of ctprune beside what people would otherwise use. `python -m benches` runs it."""
