from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.schedulers.base import STATE_PAUSED, STATE_RUNNING, STATE_STOPPED

scheduler = BackgroundScheduler(timezone="UTC")
scheduler.start()
job = scheduler.add_job(print, "interval", hours=1, id="job")
job.pause()
print(scheduler.get_job("job").next_run_time)
job.resume()
print(scheduler.get_job("job").next_run_time is not None)
scheduler.pause_job("job")
scheduler.resume_job("job")
print(scheduler.state == STATE_RUNNING)
scheduler.pause()
print(scheduler.state == STATE_PAUSED)
scheduler.resume()
scheduler.shutdown()
print(scheduler.state == STATE_STOPPED, scheduler.running)
