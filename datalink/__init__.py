"""DataLink 1.1: files and services that belong to tables and rows; and cut-outs of event lists."""
