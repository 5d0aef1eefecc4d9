mod disorder;
mod duties;
mod interrupt;
mod looking;
mod presence;
mod rehearsal;
mod rounds;
mod turns;
