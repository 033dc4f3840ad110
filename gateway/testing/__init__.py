"""What plugin authors and our own tests share: a broker to start, a gateway process, plain peers."""
