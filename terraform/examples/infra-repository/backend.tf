# The state is in a bucket that nobody but these workflows and their owners read; `terraform init -backend-config=bucket=…`.
terraform {
  backend "gcs" {
    prefix = "agnes"
  }
}
