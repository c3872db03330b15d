"""Files attached to published tables and rows: their register, and how they are served."""
