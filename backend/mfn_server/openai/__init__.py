"""The API of OpenAI, as far as it makes sense for a model that is steered; see docs/reference/openai.md."""
