"""A localhost HTTP and WebSocket service that scores viewports."""
