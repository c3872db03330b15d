"""Registry records of what is published: VOResource, Dublin Core and DataCite, harvested by OAI-PMH."""
