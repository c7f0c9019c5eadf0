"""What every stage may use: settings, devices, threads, stores derived from stores."""
