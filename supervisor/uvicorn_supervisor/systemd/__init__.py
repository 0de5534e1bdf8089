"""What passes between a supervisor and systemd: notifications and stored sockets."""
