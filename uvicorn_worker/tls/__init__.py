"""TLS: contexts and their renewal, certificates, what applications are told of them."""
