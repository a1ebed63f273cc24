"""DynamoDB: models, repositories and the settlement transaction. The only importer of PynamoDB."""
