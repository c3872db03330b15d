"""What is published: schemas, tables, columns, resources."""
