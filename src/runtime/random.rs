//! Random numbers.

/// Any number.
///
/// # Errors
/// A sentence where the kernel gives none.
pub fn number() -> Result<u64, String> {
    #[cfg(feature = "simulation")]
    return Ok(crate::simulation::random());
    #[cfg(not(feature = "simulation"))]
    {
        let mut bytes = [0u8; 8];
        getrandom::fill(&mut bytes).map_err(|error| format!("The kernel gives no random numbers: {error}."))?;
        Ok(u64::from_be_bytes(bytes))
    }
}
