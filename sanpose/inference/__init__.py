"""What a trained network is used for: predictions on images, export, the relationship of joints."""
