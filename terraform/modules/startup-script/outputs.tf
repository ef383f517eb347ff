output "script" {
  description = "The startup script, for `metadata_startup_script`."
  value       = templatefile("${path.module}/../../../templates/startup-script.sh.tftpl", local.variables)
}

output "variables" {
  description = "The template's variables: as JSON they are what `agnes-ops render startup-script --vars FILE` takes."
  value       = local.variables
}
