"""What is unusual about series: findings with stable codes."""
