"""gRPC: a thin skin that parses, calls a use case and answers."""
