"""What lies elsewhere: addresses, lists of them, object stores, web servers and DICOMweb, read many at a time."""
