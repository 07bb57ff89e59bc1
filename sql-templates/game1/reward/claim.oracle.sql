CALL claim_daily_reward(:request_id, :player_id, :day, :_id, :_now, :outcome, :streak, :gems, :balance, :calendar)
