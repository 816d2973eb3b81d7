"""The methods of the services as JSON over HTTP."""
