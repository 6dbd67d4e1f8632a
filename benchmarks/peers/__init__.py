"""What this product is compared with, each as its own documentation says."""
