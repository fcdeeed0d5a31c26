"""meshtrail: the flight recorder for service meshes."""
