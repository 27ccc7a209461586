"""Remote sources: addresses, lists of them, object stores, web servers and DICOMweb, with concurrent requests."""
