"""One watched model, from the donefile to the swap."""
