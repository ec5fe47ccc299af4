"""Models without Ray and HTTP: talking-head backends, the recogniser, the face mesh."""
