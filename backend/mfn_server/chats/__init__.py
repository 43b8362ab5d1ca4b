"""Chats: messages become the text that a model continues, by the chat template of its tokenizer."""
