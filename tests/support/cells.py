"""The cells that a lake must have for what the portal sent. They follow from the JSON and the descriptor alone."""


def expected_cell(column, value):
    """Returns the expected cell of `column` for a value that the portal sent."""
    if value is None:
        return None
    if column["type"] == "string":
        text = value if isinstance(value, str) else str(value)
        is_digits = text.isascii() and text.isdigit()
        return text.rjust(column.get("width", 0), "0") if is_digits else text
    if column["type"] == "double":
        return float(value)
    # A count may be sent as "-2.000". A fraction would differ from any integer in the file.
    number = float(value) if isinstance(value, str) else value
    return int(number) if number == int(number) else number
