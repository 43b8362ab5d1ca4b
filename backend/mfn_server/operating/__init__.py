"""What whoever runs a server looks at: health, readiness, metrics, logs."""
