"""The schema, one numbered step after the other; a step that was released never changes."""
