"""What a feature fires on, put into words without a language model: patterns of tokens, learned and executed."""
