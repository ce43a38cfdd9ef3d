module alert-sink

go 1.24.0
