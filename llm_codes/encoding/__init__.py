"""From documents (texts, chats, token ids) to token ids, cut and padded nowhere."""
